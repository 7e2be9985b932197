//! Unpublished member of the workspace.
