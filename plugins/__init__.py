"""Task drivers, fingerprinters, the supervisor and the contracts they keep. Imports nothing from daemon/."""
