//! Plans, syncs, heals and watches a Kubernetes cluster: the asynchronous end of GitOps.
