"""The encamp daemon: model, state, scheduler, consensus, evaluation, RPC, server, node agent and command line."""
