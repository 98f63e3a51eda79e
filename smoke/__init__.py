"""Cold starts in the user's own AWS account, beside AWS's runtime: `make aws-smoke`."""
