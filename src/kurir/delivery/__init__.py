"""From a durable message to the platform's answer: lanes in order, parallel across lanes, every outcome recorded."""
