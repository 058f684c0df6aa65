"""The one training loop, schedules, precision and seeding."""
