"""Run folders: what was asked, of which model, what it answered; resumable and extendable."""
