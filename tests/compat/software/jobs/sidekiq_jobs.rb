# Sidekiq's job: it writes down that it was done, in one write, in the file that JOBS_DONE names.
require "sidekiq"

Sidekiq.configure_server { |config| config.redis = { url: ENV.fetch("JOBS_URL") } }
Sidekiq.configure_client { |config| config.redis = { url: ENV.fetch("JOBS_URL") } }

class Job
  include Sidekiq::Worker

  def perform(number)
    File.open(ENV.fetch("JOBS_DONE"), "ab") { |file| file.syswrite("#{number}\n") }
  end
end
