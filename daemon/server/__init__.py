"""The server role: leader services and endpoints."""
