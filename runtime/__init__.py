"""What every process stands on: settings, logs, lifecycle, HTTP, command lines."""
