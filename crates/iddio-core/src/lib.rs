//! The vocabulary, the policy engine, the audit chain, and the one pipeline.
