"""Results on their way: destinations, the durable queue, the two protocols, and what confirms that they arrived."""
