-- How often a pull request was answered lately: nobody makes this service flood one.
CREATE INDEX outbox_forge ON outbox (recipient, created_at) WHERE channel = 'forge';
