# Enqueues a job for each number that comes in, and says whether it was accepted.
require_relative "sidekiq_jobs"

$stdout.sync = true
$stdin.each_line do |line|
  begin
    Job.perform_async(line.to_i)
    puts "accepted"
  rescue StandardError => problem
    puts "#{problem.class}: #{problem.message}".tr("\n", " ")
  end
end
