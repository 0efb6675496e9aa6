"""Arrow messages: a record whose value is an IPC stream of many events, read column by column."""
