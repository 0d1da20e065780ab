"""The networks: transformer policy, twin critic, cloned expert."""
