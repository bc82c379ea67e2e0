"""Job files: text to Job, validation, diff. The entry points are in `parse`, `validate` and `diff`.

Theory: three front ends (HCL2, the classic dialect, JSON) end in one `body.Body`; one schema turns it
into the structs of `daemon.model`. This package is cheap to import: the grammars load on first use.
"""
