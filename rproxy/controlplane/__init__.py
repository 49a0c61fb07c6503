"""The control plane: it decides where commands go. Probes, the leader, the topology. redis-py lives here and nowhere else."""
