"""The control plane's decisions: policy, audit, interventions, kill-all, tokens."""
