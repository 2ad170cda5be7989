DROP INDEX outbox_forge;
