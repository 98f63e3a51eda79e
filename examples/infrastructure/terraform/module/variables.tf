variable "name" {
  type        = string
  description = "The function's name."
}

variable "source_folder" {
  type        = string
  description = "The folder with the function and its packages."
}

variable "layers_folder" {
  type        = string
  description = "Where make layer, or a release, has put the layers' zips."
}

variable "handler" {
  type        = string
  description = "module.function, or the name of a web application."
  default     = "app.handler"
}

variable "python" {
  type        = string
  description = "The layer's Python."
  default     = "3.13"

  validation {
    condition     = contains(["3.13", "3.14", "3.15"], var.python)
    error_message = "There are layers for Python 3.13, 3.14 and 3.15."
  }
}

variable "architecture" {
  type        = string
  description = "x86_64 or arm64."
  default     = "arm64"

  validation {
    condition     = contains(["x86_64", "arm64"], var.architecture)
    error_message = "Lambda has the architectures x86_64 and arm64."
  }
}

variable "memory_size" {
  type        = number
  description = "MB."
  default     = 256
}

variable "timeout" {
  type        = number
  description = "Seconds."
  default     = 10
}

variable "variables" {
  type        = map(string)
  description = "The function's environment variables."
  default     = {}
}

variable "more_layers" {
  type        = list(string)
  description = "ARNs of layers beside the runtime's."
  default     = []
}
