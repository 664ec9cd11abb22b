//! Runbooks: named patterns that are approved in advance.
