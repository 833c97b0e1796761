"""What is there: the root itself, entries (named records in files), later journal and catalog."""
