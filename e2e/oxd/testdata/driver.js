// Calls oxd-node as it is asked on stdin, one JSON object a line.
const readline = require('readline');

console.log = () => {}; // the client tells every answer there
const oxd = require(process.argv[2])(JSON.parse(process.argv[3]));

const answer = (value) => process.stdout.write(`${JSON.stringify(value)}\n`);
readline.createInterface({ input: process.stdin }).on('line', (line) => {
  const call = JSON.parse(line);
  oxd[call.method](call.args, (err, response) => {
    answer(err ? { failure: 'callback', message: JSON.stringify(err) } : { result: response });
  });
}).on('close', () => process.exit(0));
