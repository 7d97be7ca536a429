//! The AWS services behind one endpoint.
