BEGIN TRANSACTION;
CREATE TABLE blobs (digest TEXT PRIMARY KEY, body BLOB NOT NULL);
INSERT INTO "blobs" VALUES('06eb7d6a69ee19e5fbdf749018d3d2ab',X'00FF');
CREATE TABLE certificate_keys (ref TEXT PRIMARY KEY REFERENCES certificates (ref) ON DELETE CASCADE,
           pem BLOB NOT NULL);
INSERT INTO "certificate_keys" VALUES('Certificate/web',X'4B4559');
CREATE TABLE certificates (ref TEXT PRIMARY KEY, spec_digest TEXT NOT NULL, chain BLOB NOT NULL,
           not_after DOUBLE PRECISION NOT NULL);
INSERT INTO "certificates" VALUES('Certificate/web','digest',X'434841494E',5000.0);
CREATE TABLE events (number INTEGER PRIMARY KEY, at DOUBLE PRECISION NOT NULL, kind TEXT NOT NULL, ref TEXT NOT NULL,
           message TEXT NOT NULL);
INSERT INTO "events" VALUES(1,1000.0,'status.synced','Container/web-1','');
INSERT INTO "events" VALUES(2,1000.0,'secret.opened','Certificate/web','sds');
CREATE TABLE goods (node TEXT PRIMARY KEY, version TEXT NOT NULL, sets TEXT NOT NULL);
INSERT INTO "goods" VALUES('edge-1','s1','{"cds":"26cbc1254beb0be5c56eacc3512b8487"}');
CREATE TABLE leases (name TEXT PRIMARY KEY, holder TEXT NOT NULL, epoch INTEGER NOT NULL,
           expires_at DOUBLE PRECISION NOT NULL, ttl_s DOUBLE PRECISION NOT NULL);
INSERT INTO "leases" VALUES('control','web-1',1,0.0,0.0);
CREATE TABLE meta (name TEXT PRIMARY KEY, value BLOB NOT NULL);
INSERT INTO "meta" VALUES('installation',X'38383336343530342D306231362D343838662D393836362D396531303135376138333461');
INSERT INTO "meta" VALUES('xds_key',X'852377035076EFA643EA0D8538503BC16CF1F3C6E24EC9E97A2A6A369FAA110A');
INSERT INTO "meta" VALUES('digest_key',X'B3D409F70C7BAA4DB80FCC124D160FEF2A4E2BD2139D9A151A6AC575410339FE');
CREATE TABLE outcomes (number INTEGER PRIMARY KEY, at DOUBLE PRECISION NOT NULL, body TEXT NOT NULL);
INSERT INTO "outcomes" VALUES(1,1000.0,'{"ref":"Container/web-1","status":"done","verb":"create"}');
CREATE TABLE plans (number INTEGER PRIMARY KEY, at DOUBLE PRECISION NOT NULL, revision TEXT NOT NULL,
           body TEXT NOT NULL);
INSERT INTO "plans" VALUES(1,1000.0,'r1','{"steps":[]}');
CREATE TABLE refused (version TEXT NOT NULL, envoy TEXT NOT NULL, type TEXT NOT NULL, name TEXT NOT NULL,
           message TEXT NOT NULL, at DOUBLE PRECISION NOT NULL, PRIMARY KEY (version, envoy));
INSERT INTO "refused" VALUES('v-bad','1.40.0','lds','in','not so',5.0);
CREATE TABLE revisions (number INTEGER PRIMARY KEY, at DOUBLE PRECISION NOT NULL, revision TEXT NOT NULL,
           status TEXT NOT NULL, problems TEXT NOT NULL);
INSERT INTO "revisions" VALUES(1,1000.0,'r1','good','[]');
INSERT INTO "revisions" VALUES(2,1000.0,'r2','refused','[["a.yaml",3,4,"unknown field","did you mean port?","Host/h"]]');
CREATE TABLE schema_version (version INTEGER NOT NULL);
INSERT INTO "schema_version" VALUES(1);
CREATE TABLE sets (digest TEXT PRIMARY KEY, body TEXT NOT NULL);
INSERT INTO "sets" VALUES('26cbc1254beb0be5c56eacc3512b8487','[["web","v-1","06eb7d6a69ee19e5fbdf749018d3d2ab",["fleet/a.yaml",7,3],"Cluster/web","","web-eds",[["eds","web"]]]]');
CREATE TABLE state (name TEXT PRIMARY KEY, body TEXT NOT NULL);
INSERT INTO "state" VALUES('fleet','{"converged":true,"revision":"r1"}');
CREATE TABLE status (name TEXT PRIMARY KEY, body TEXT NOT NULL);
INSERT INTO "status" VALUES('Container/web-1','{"health":"healthy","ref":"Container/web-1","sync":"synced"}');
CREATE TABLE verdicts (digest TEXT PRIMARY KEY, body TEXT NOT NULL, at DOUBLE PRECISION NOT NULL);
INSERT INTO "verdicts" VALUES('d','good',1000.0);
COMMIT;
