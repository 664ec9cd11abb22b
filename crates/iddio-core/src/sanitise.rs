//! Makes attacker-controlled text safe to show in a terminal.
