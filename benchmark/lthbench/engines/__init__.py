"""What runs a plan's steps: ``local`` on this machine."""
