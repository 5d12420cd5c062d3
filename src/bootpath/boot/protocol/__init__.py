"""What the host tells the guest of a live boot (`settings`), and what the guest reports back (`events`)."""
