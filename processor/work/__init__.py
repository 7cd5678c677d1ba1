"""Where work is done: the daemon's loop, the supervisor that owns every process, and the workers that run handlers."""
