// An OIDC provider on loopback for the tests of sign-in: `oidc-provider` from npm, with its own pages for login and consent. Whoever
// logs in is the person whom the login names, whatever the password.
//
//   DROPSAFE_OIDC_PROVIDER=FOLDER node provider.mjs PORT CONSOLE PEOPLE
//
// FOLDER holds node_modules. CONSOLE is the console's address. PEOPLE is JSON: the groups of each person.
import { pathToFileURL } from 'node:url';

const [port, console_, people] = process.argv.slice(2);
const library = `${process.env.DROPSAFE_OIDC_PROVIDER}/node_modules/oidc-provider/lib/index.js`;
const { default: Provider } = await import(pathToFileURL(library));
const groups = JSON.parse(people);
const device = 'urn:ietf:params:oauth:grant-type:device_code';

// Another site than the console: a cookie that a browser keeps from this one stays at home.
const provider = new Provider(`http://localhost:${port}`, {
  clients: [
    {
      client_id: 'dropsafe',
      client_secret: 'canary-of-the-real-provider',
      redirect_uris: [`${console_}/console/sign-in/callback/corp`],
    },
    {
      client_id: 'dropsafe-cli',
      application_type: 'native',
      token_endpoint_auth_method: 'none',
      redirect_uris: ['http://127.0.0.1/callback'],
      grant_types: ['authorization_code', device],
    },
  ],
  claims: { openid: ['sub'], profile: ['name', 'preferred_username'], groups: ['groups'] },
  scopes: ['openid', 'profile', 'groups'],
  features: { deviceFlow: { enabled: true } },
  cookies: { keys: ['only for tests'] },
  findAccount: (_, id) => ({
    accountId: id,
    claims: () => ({ sub: id, name: `${id} of Acme`, preferred_username: id, groups: groups[id] ?? [] }),
  }),
});

provider.listen(Number(port), '127.0.0.1', () => process.stdout.write('ready\n'));
