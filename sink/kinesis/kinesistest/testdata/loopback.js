// Preloaded with `node -r` into kinesis-local and kinesalite, which listen on
// all interfaces: it makes them listen on free ports of 127.0.0.1, prints those,
// and ends the process when standard input ends, that is, when the test is gone.
'use strict'
const net = require('net')

const listen = net.Server.prototype.listen
net.Server.prototype.listen = function (...args) {
  const callback = args.find((a) => typeof a === 'function')
  this.once('listening', () => {
    process.stdout.write(`LISTENING ${this.address().port}\n`)
  })
  return listen.call(this, { port: 0, host: '127.0.0.1' }, callback)
}
process.stdin.resume()
process.stdin.on('end', () => process.exit(0))
