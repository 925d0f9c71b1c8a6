"""From a YAML document to what the rooms know: load (text and places), lint (findings), site (everything resolved)."""
