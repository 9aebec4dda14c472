// What a key can be allowed, in words.

import { words } from '../format.js';
import { whoami } from '../shell.js';

const DESCRIPTIONS = {
  'tenant:read': 'See the tenant and its settings',
  'tenant:write': 'Change the tenant’s name and settings',
  'members:read': 'See who belongs to the tenant',
  'members:write': 'Change roles and remove members',
  'invitations:read': 'See open invitations',
  'invitations:write': 'Invite people and withdraw invitations',
  'api_keys:read': 'See API keys (never the keys themselves)',
  'api_keys:write': 'Create, rotate and revoke API keys',
  'integrations:read': 'See connected integrations (never their secrets)',
  'integrations:write': 'Connect and disconnect integrations',
  'integrations:use': 'Obtain an access token of a connected integration',
  'audit:read': 'Read the audit log',
  'audit:export': 'Export the audit log',
  'ai:read': 'See AI quota and usage',
  'ai:use': 'Reserve and settle AI calls',
  'ai:write': 'Change AI settings',
  'tenant:own': 'What is the owner’s alone: delete or hand over the tenant, lower AI limits',
};

/** [scope, description] of what the person holds; those of tables of the product's own come last. */
export function scopesToGive() {
  const known = Object.keys(DESCRIPTIONS);
  const own = whoami().permissions.filter((scope) => !known.includes(scope));
  return [...known.filter((scope) => whoami().permissions.includes(scope)), ...own].map((scope) => [scope, DESCRIPTIONS[scope] ?? words(scope.replace(':', ' '))]);
}
