"""HCL2: python-hcl2's tree, our syntax nodes, our evaluator. The classic dialect and JSON stand beside it."""
