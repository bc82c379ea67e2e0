"""Control groups, version 1 and 2, through plain files. Imported by the supervisor: keep it small.

`detect` finds out what the machine has, `layout` says where a task's groups are and what is written into
them, `group` makes, watches, kills and removes them, `usage` reads counters.
"""
