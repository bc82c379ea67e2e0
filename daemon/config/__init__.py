"""The agent's configuration: files and flags to `AgentConfig`. Entry point: `load.load_config`."""
