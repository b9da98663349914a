"""What deploy/ holds that is made of the code: alert rules, dashboards, topics and permissions."""
