"""What a session talks through: each connection a supervised child."""
