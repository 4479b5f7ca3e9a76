//! Execs as they are asked for and inspected.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use beeline_engine::{ExecConfig, ExecState, ExecView};
use beeline_wire::detach_keys;
use beeline_wire::exec::{ExecCreateRequest, ExecInspect, ProcessConfig};

use crate::http::error::ApiError;

pub(crate) fn config(request: ExecCreateRequest) -> Result<ExecConfig, ApiError> {
    let detach_keys = if request.detach_keys.is_empty() {
        Vec::new()
    } else {
        detach_keys::parse(&request.detach_keys).map_err(|error| ApiError::bad_request(error.to_string()))?
    };
    Ok(ExecConfig {
        cmd: request.cmd.unwrap_or_default(),
        env: request.env.unwrap_or_default(),
        working_dir: request.working_dir,
        user: request.user,
        tty: request.tty,
        privileged: request.privileged,
        stdin: request.attach_stdin,
        stdout: request.attach_stdout,
        stderr: request.attach_stderr,
        detach_keys,
        console_size: request.console_size.map(|[height, width]| (height, width)),
    })
}

pub(crate) fn inspect(view: &ExecView) -> ExecInspect {
    let config = &view.config;
    let (entrypoint, arguments) =
        config.cmd.split_first().map(|(first, rest)| (first.clone(), rest.to_vec())).unwrap_or_default();
    ExecInspect {
        id: view.id.clone(),
        running: view.state == ExecState::Running,
        exit_code: if let ExecState::Ended(code) = view.state { Some(code) } else { None },
        process_config: ProcessConfig {
            tty: config.tty,
            entrypoint,
            arguments,
            privileged: Some(config.privileged),
            user: config.user.clone(),
        },
        open_stdin: config.stdin,
        open_stderr: config.stderr,
        open_stdout: config.stdout,
        can_remove: false,
        container_id: view.container.to_string(),
        detach_keys: STANDARD.encode(&config.detach_keys),
        pid: view.pid.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_docker_exec_sends_is_understood() {
        let request: ExecCreateRequest = serde_json::from_str(
            r#"{"User":"1000:5","Privileged":false,"Tty":true,"ConsoleSize":[20,80],"AttachStdin":true,"AttachStderr":true,
               "AttachStdout":true,"DetachKeys":"ctrl-a","Env":["A=b"],"WorkingDir":"/tmp","Cmd":["sh","-c","x"]}"#,
        )
        .unwrap();
        let config = config(request).unwrap();
        assert_eq!((config.user.as_str(), config.working_dir.as_str()), ("1000:5", "/tmp"));
        assert_eq!(config.console_size, Some((20, 80)));
        assert_eq!(config.detach_keys, [1]);
        assert!(config.tty && config.stdin && config.stdout && config.stderr && !config.privileged);
        let wrong = ExecCreateRequest { detach_keys: "ctrl-".into(), ..ExecCreateRequest::default() };
        assert!(super::config(wrong).unwrap_err().message.contains("ctrl-"));
    }
}
