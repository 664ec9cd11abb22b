//! Approvers: the queue, the terminal, and grants that are signatures.
