/** What the pages for admins ask of the dashboard's own server. Secrets come in the answers marked so, and never again. */

import { call } from "../calls.js";

/** @typedef {"viewer" | "operator" | "admin"} Role @typedef {"view" | "detect" | "operate" | "admin" | "metrics"} Scope */
/** @typedef {{name: string, role: Role, created_at: number, disabled: boolean, last_sign_in: number | null, sign_ins: number,
 *   link_pending: boolean, locked_until: number | null}} User */
/** @typedef {{name: string, token: string, expires_at: number}} Link  token: a secret */
/** @typedef {{key_id: string, name: string, scopes: Scope[], created_at: number, created_by: string, expires_at: number | null,
 *   last_used: number | null, last_address: string | null}} ApiKey */
/** @typedef {{node_id: string, kind: string, name: string, kid: string, enrolled_at: number, token_name: string,
 *   renewed_at: number, revoked_at: number | null, revoked_by: string | null}} Enrolment */
/** @typedef {{token_id: string, name: string, uses: number, uses_left: number, created_at: number, created_by: string,
 *   expires_at: number}} JoinToken */
/** @typedef {{entry_id: string, at: number, who: string, address: string, action: string, subject: string, outcome: string}}
 *   AuditEntry */

/** @param {string} name */
const user = (name) => `/api/users/${encodeURIComponent(name)}`;

/** @returns {Promise<User[]>} */
export const getUsers = async () => (await call("GET", "/api/users")).users;

/** @param {{name: string, role: Role}} wish @returns {Promise<{user: User, link: Link | null}>} */
export const addUser = (wish) => call("POST", "/api/users", wish);

/** @param {string} name @param {{role?: Role, disabled?: boolean}} change */
export const changeUser = (name, change) => call("PATCH", user(name), change);

/** @param {string} name */
export const removeUser = (name) => call("DELETE", user(name));

/** @param {string} name @returns {Promise<Link>} */
export const makeLink = (name) => call("POST", `${user(name)}/link`, {});

/** @param {string} name */
export const signOut = (name) => call("DELETE", `${user(name)}/sign-ins`);

/** @returns {Promise<ApiKey[]>} */
export const getKeys = async () => (await call("GET", "/api/keys")).keys;

/** @param {{name: string, scopes: Scope[], expires_in?: number}} wish @returns {Promise<{key: ApiKey, secret: string}>} */
export const makeKey = (wish) => call("POST", "/api/keys", wish);

/** @param {string} id */
export const revokeKey = (id) => call("DELETE", `/api/keys/${encodeURIComponent(id)}`);

/** @returns {Promise<Enrolment[]>} */
export const getEnrolments = async () => (await call("GET", "/api/enrolments")).enrolments;

/** @param {string} id of a node */
export const revokeNode = (id) => call("DELETE", `/api/enrolments/${encodeURIComponent(id)}`);

/** @returns {Promise<JoinToken[]>} */
export const getTokens = async () => (await call("GET", "/api/join-tokens")).tokens;

/** @param {{uses: number, expires_in: number, name?: string}} wish @returns {Promise<{token: JoinToken, secret: string}>} */
export const makeToken = (wish) => call("POST", "/api/join-tokens", wish);

/** @param {string} id */
export const removeToken = (id) => call("DELETE", `/api/join-tokens/${encodeURIComponent(id)}`);

/** @param {string} [cursor] of the page before @returns {Promise<{entries: AuditEntry[], next_cursor: string | null}>} */
export const getAudit = (cursor) => call("GET", `/api/audit${cursor ? `?cursor=${encodeURIComponent(cursor)}` : ""}`);
