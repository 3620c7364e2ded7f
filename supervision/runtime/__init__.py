"""One actor's life: mailbox, dispatchers, references, names, timers, kill, the ActorSystem."""
