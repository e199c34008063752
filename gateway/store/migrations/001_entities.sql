-- The entities. Tables and columns bear the names of the gateway whose behaviour is documented, so
-- that what is known about its database is true here as well.

CREATE TABLE workspaces (
    id         uuid PRIMARY KEY,
    name       text UNIQUE,
    comment    text,
    created_at timestamptz DEFAULT CURRENT_TIMESTAMP(0),
    meta       jsonb,
    config     jsonb,
    updated_at timestamptz DEFAULT CURRENT_TIMESTAMP(0)
);

INSERT INTO workspaces (id, name) VALUES (gen_random_uuid(), 'default');

CREATE TABLE services (
    id                    uuid PRIMARY KEY,
    created_at            timestamptz,
    updated_at            timestamptz,
    name                  text,
    retries               bigint,
    protocol              text,
    host                  text,
    port                  bigint,
    path                  text,
    connect_timeout       bigint,
    write_timeout         bigint,
    read_timeout          bigint,
    tags                  text[],
    client_certificate_id uuid,
    tls_verify            boolean,
    tls_verify_depth      bigint,
    ca_certificates       text[],
    enabled               boolean DEFAULT true,
    ws_id                 uuid REFERENCES workspaces (id),
    CONSTRAINT services_ws_id_name_unique UNIQUE (ws_id, name)
);

CREATE TABLE routes (
    id                         uuid PRIMARY KEY,
    created_at                 timestamptz,
    updated_at                 timestamptz,
    name                       text,
    service_id                 uuid REFERENCES services (id),
    protocols                  text[],
    methods                    text[],
    hosts                      text[],
    paths                      text[],
    snis                       text[],
    sources                    jsonb,
    destinations               jsonb,
    headers                    jsonb,
    regex_priority             bigint,
    strip_path                 boolean,
    preserve_host              boolean,
    request_buffering          boolean,
    response_buffering         boolean,
    https_redirect_status_code bigint,
    path_handling              text DEFAULT 'v0',
    tags                       text[],
    ws_id                      uuid REFERENCES workspaces (id),
    CONSTRAINT routes_ws_id_name_unique UNIQUE (ws_id, name)
);
CREATE INDEX routes_service_id_idx ON routes (service_id);

CREATE TABLE consumers (
    id         uuid PRIMARY KEY,
    created_at timestamptz,
    updated_at timestamptz,
    username   text,
    custom_id  text,
    tags       text[],
    ws_id      uuid REFERENCES workspaces (id),
    CONSTRAINT consumers_ws_id_username_unique UNIQUE (ws_id, username),
    CONSTRAINT consumers_ws_id_custom_id_unique UNIQUE (ws_id, custom_id)
);

-- cache_key is where "one plugin of a name on a scope" is unique: a scope's nulls count as equal.
CREATE TABLE plugins (
    id            uuid PRIMARY KEY,
    created_at    timestamptz,
    updated_at    timestamptz,
    name          text NOT NULL,
    instance_name text,
    route_id      uuid REFERENCES routes (id) ON DELETE CASCADE,
    service_id    uuid REFERENCES services (id) ON DELETE CASCADE,
    consumer_id   uuid REFERENCES consumers (id) ON DELETE CASCADE,
    config        jsonb NOT NULL,
    protocols     text[],
    enabled       boolean NOT NULL DEFAULT true,
    tags          text[],
    cache_key     text,
    ws_id         uuid REFERENCES workspaces (id),
    CONSTRAINT plugins_cache_key_unique UNIQUE (cache_key),
    CONSTRAINT plugins_ws_id_instance_name_unique UNIQUE (ws_id, instance_name)
);
CREATE INDEX plugins_route_id_idx ON plugins (route_id);
CREATE INDEX plugins_service_id_idx ON plugins (service_id);
CREATE INDEX plugins_consumer_id_idx ON plugins (consumer_id);

CREATE TABLE keyauth_credentials (
    id          uuid PRIMARY KEY,
    created_at  timestamptz,
    consumer_id uuid REFERENCES consumers (id) ON DELETE CASCADE,
    key         text,
    tags        text[],
    ttl         timestamptz,
    ws_id       uuid REFERENCES workspaces (id),
    CONSTRAINT keyauth_credentials_ws_id_key_unique UNIQUE (ws_id, key)
);
CREATE INDEX keyauth_credentials_consumer_id_idx ON keyauth_credentials (consumer_id);
CREATE INDEX keyauth_credentials_ttl_idx ON keyauth_credentials (ttl);
