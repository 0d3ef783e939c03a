"""The HTTP client of scanners: retries, rates, quotas, cached responses, redacted secrets."""
