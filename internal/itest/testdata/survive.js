// Kinesalite throws the error of a request that is cut off, which ends the process.
// A service would go on.
process.on('uncaughtException', function (err) {
  if (err.code !== 'ECONNRESET') throw err
})
