//! Reads secrets from Secrets Manager and SSM, for forwarder and extension.
