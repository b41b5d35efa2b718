"""What the system costs, beside Celery and beside Docker alone. Run by `make bench`."""
