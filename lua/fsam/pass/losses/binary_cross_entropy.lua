--- Labels that are each true or false: the mean over the labels of a sample, in training with
-- weights of the labels where these are wanted.
local lib = require("fsam.C").lib

require("fsam.pass.losses").define("binary_cross_entropy", {
  labels = "f32", several = true, weights = true,
  compute = function(losses, dlogits, logits, targets, batch, settings)
    return lib.fsam_binary_cross_entropy(losses, dlogits, logits, targets,
      settings and settings.weights, batch)
  end,
})
