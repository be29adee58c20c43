"""What a notebook talks to: its session, parameters, findings and charts."""
