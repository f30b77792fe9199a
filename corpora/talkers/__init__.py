"""The built-in parallel audiovisual corpus."""
