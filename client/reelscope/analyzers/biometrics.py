"""What the analyzers that judge people by face or voice have in common."""

OPT_OUT = "--no-biometrics, or biometrics = off in the deployment's profile"
"""How to leave them out, as their summaries say it."""
