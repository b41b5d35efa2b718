"""AMQP on pika: one link a process, publishers with confirms, consumers that hand over batches."""
