"""Apache Kafka for one machine, from pip alone: pinned jars (`jars`), a Java (`java`) and a process (`local`)."""
